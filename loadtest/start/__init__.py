"""How long a server takes to start, and what it takes of the machine."""
