"""What is predicted, and with what probability: the threshold, set sizes, calibration."""
