"""One loop for every model of the study."""
