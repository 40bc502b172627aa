"""The load test of a deployment, as `make load` runs it; `python -m loadtest.load` puts its parts together.

scenario       what is sent: mix, rate, duration, share of invalid requests
payloads       requests from a contract, each with the answer it must get
deployment     what is served, asked over its public interface
k6             the generator, and what it measured; scenario.js is its script
null           a server that does nothing, for `calibrate`
calibrate      how fast the generator itself is
capacity       the highest rate that meets the service level
verdict        void, missed or met
report         the figures as HTML and JSON; drawing makes its charts
selftest       the generator against a server that stops
"""
