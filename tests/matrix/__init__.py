"""Models of many kinds, packed and compared with themselves."""
