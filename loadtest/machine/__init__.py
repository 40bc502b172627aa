"""The machine that figures are measured on: its hardware, its programs, and a server started on some of its cores."""
