"""Object stores, for whatever pattern reads or writes there."""
