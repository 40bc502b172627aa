"""Where files lie and how they are found: directories and object stores, names, listings, compression."""
