"""What a run is to do: its settings, and its files divided into fragments."""
