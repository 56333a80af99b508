SELECT * FROM lineitem
WHERE l_shipdate >= %(start)s::timestamptz::date AND l_shipdate < %(end)s::timestamptz::date
