-- Departures from New York, one row each, with airline, airports, aircraft and weather.
--
-- scheduled_departure assigns a row to its partition. time_hour is the same time without its minutes. Days in New York
-- begin on the hour, so both are on the same day. The filter uses time_hour because it is an indexed column, and because
-- PostgreSQL can estimate its rows.
SELECT
    departure.scheduled                                             AS scheduled_departure,
    departure.scheduled + make_interval(mins => f.dep_delay::int)   AS departed,
    f.carrier                                                       AS carrier,
    coalesce(airline.name, f.carrier)                               AS carrier_name,
    f.flight                                                        AS flight,
    f.tailnum                                                       AS tail_number,
    f.origin                                                        AS origin,
    coalesce(origin.name, f.origin)                                 AS origin_name,
    f.dest                                                          AS destination,
    coalesce(destination.name, f.dest)                              AS destination_name,
    plane.manufacturer                                              AS manufacturer,
    plane.model                                                     AS model,
    plane.seats                                                     AS seats,
    f.dep_delay                                                     AS departure_delay,
    f.arr_delay                                                     AS arrival_delay,
    f.air_time                                                      AS air_time,
    f.distance                                                      AS distance,
    weather.temp::numeric(5, 2)                                     AS temperature,
    weather.wind_speed::numeric(6, 2)                               AS wind_speed,
    weather.precip::numeric(5, 2)                                   AS precipitation,
    weather.visib::numeric(5, 2)                                    AS visibility,
    f.dep_time IS NULL                                              AS cancelled
FROM public.flights AS f
CROSS JOIN LATERAL (SELECT f.time_hour + make_interval(mins => f.minute::int) AS scheduled) AS departure
LEFT JOIN public.airlines AS airline ON airline.carrier = f.carrier
LEFT JOIN public.airports AS origin ON origin.faa = f.origin
LEFT JOIN public.airports AS destination ON destination.faa = f.dest
LEFT JOIN public.planes AS plane ON plane.tailnum = f.tailnum
LEFT JOIN public.weather AS weather ON weather.origin = f.origin AND weather.time_hour = f.time_hour
WHERE f.time_hour >= %(start)s
  AND f.time_hour < %(end)s
  AND (%(carrier)s IS NULL OR f.carrier = %(carrier)s)
ORDER BY scheduled_departure, carrier, flight, origin
