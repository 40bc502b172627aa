"""Load tests and comparisons, run from the repository's root, most of them by a target of the Makefile.

load           a deployment under load: `make load`
bench          beside other servers: `make bench`
batch          batch scoring, beside other programs and killed at random: `make bench-batch`
stream         streams, while workers and brokers die
gate           a commit's hot path beside that of another one: `make gate`
endure         overload, and an hour of load
offline_page   an exported page: bytes of the first visit, seconds to the first prediction offline
machine        the machine that all of them measure on
peers          the programs that Fivefold is measured beside
hotpath        the script that the gate runs in both commits, always at this path
document       measured text between the markers of a document
"""
