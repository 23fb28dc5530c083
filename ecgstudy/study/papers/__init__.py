"""What is one paper's own on its page: its signature picture and the measurements behind it, one file a paper."""
