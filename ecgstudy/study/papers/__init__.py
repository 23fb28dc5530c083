"""What single papers' pages measure and draw of their trained networks, one file a paper."""
