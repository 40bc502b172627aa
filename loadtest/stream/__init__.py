"""Streams: events in, exactly one result or dead letter for each out, while workers and brokers die.

planned_events   what goes in, and what has to come out
checker          whether it did; `selftest` checks the checker
log_readers      what lies in a log, read without the product
stream_logs      the three logs that a run can be over
kafka_broker     a Kafka of this machine, real or not
worker_fleet     worker processes, and what is done to them
fault_plan       which fault comes when
chaos            a run: all of these together; `chaos_report` its table
recovery         how long readers stand still after a kill
throughput       events a second, beside other programs and beside `at_least_once`, our loop without the transaction
"""
