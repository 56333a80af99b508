"""The portal: pages and a JSON API for reports and their runs, served by Airflow's API server.

airflow_plugin, lazy_app         mount the portal and the webhooks, which are loaded on their first request
portal_app, dependencies         the app, and the dependencies of its routes
resources                        the catalog, sessions, stores and queues that all routes share
api, pages, page_formats, views  the routes, and the records that they return
access                           who the caller is and what the caller may do
request_limits, work_queue       limits on requests and on concurrent work

reports                          the reports that the caller can read
request_checks, run_requests     validate a request, and find or start its run
estimates, deadline_store        the expected size of a run

run_reader, runs                 read run lists and single runs, and describe them
run_source                       the store and the caches that runs are read from
run_progress, run_outcomes       what Airflow knows about active and finished runs
run_contents, manifest_cache     what manifests say about published runs
command_line_runs                runs that Airflow has no record of
unreadable_runs                  runs whose details cannot be loaded
page_summaries                   summary tables and charts on run pages
downloads, archives              files and zips of published runs
error_messages                   errors as readers see them
"""
