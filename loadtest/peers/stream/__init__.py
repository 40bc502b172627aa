"""What streams are measured beside: one program each, in its own environment, in its documented fast form.

Each reads JSON records from one topic, scores them with the model that `scoring` names, writes JSON answers to another
topic, and runs until it is ended. Address, topics and the group come from the environment variables that
`stream_topics` names. None imports anything of Fivefold. Starting them is left to `loadtest.stream`.
"""
