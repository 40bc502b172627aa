"""The servers that Fivefold is measured beside: one program each, in its own environment, in its documented fast form.

Each has one worker and one model thread, takes its ports and the model from the environment variables that `scoring`
names, imports nothing of Fivefold, and runs until it is ended. Starting them is left to `loadtest.bench`.
"""
