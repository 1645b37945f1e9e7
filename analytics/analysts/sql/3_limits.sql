-- What analysts may: read the views, within bounds that a query of theirs cannot change.

GRANT SELECT ON predmarket_analysts.* TO predmarket_analyst WITH REPLACE OPTION;

CREATE SETTINGS PROFILE OR REPLACE predmarket_analyst SETTINGS
    readonly = 1 CONST,
    allow_ddl = 0 CONST,
    allow_introspection_functions = 0 CONST,
    do_not_merge_across_partitions_select_final = 1 CONST,
    max_execution_time = 30 CONST,
    max_memory_usage = 2000000000 CONST,
    max_memory_usage_for_user = 4000000000 CONST,
    max_threads = 2 CONST,
    os_thread_priority = 10 CONST,
    max_concurrent_queries_for_user = 4 CONST,
    max_result_rows = 1000000 CONST,
    max_result_bytes = 200000000 CONST,
    result_overflow_mode = 'throw' CONST
TO predmarket_analyst;

CREATE QUOTA OR REPLACE predmarket_analyst KEYED BY user_name
    FOR INTERVAL 1 minute MAX queries = 120,
    FOR INTERVAL 1 hour MAX execution_time = 900, errors = 1000
TO predmarket_analyst;
