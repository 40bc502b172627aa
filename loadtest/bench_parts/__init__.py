"""The parts of `loadtest.bench`: who is compared, what is asked, the running servers, the load tools, the text."""
