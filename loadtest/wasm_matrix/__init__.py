"""Many kinds of models, packed, on WebAssembly beside the server's runtime."""
