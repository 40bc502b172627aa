"""What a server endures: more than it can do (`overload`), and half of it for an hour (`soak`)."""
