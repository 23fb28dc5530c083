"""What a network looks at, and how far its maps can be trusted."""
