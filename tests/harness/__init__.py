"""What the system tests stand on; see ../README.md."""
