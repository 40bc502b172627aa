"""What a run is to do: its settings, and its files cut into fragments."""
