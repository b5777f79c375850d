"""What is predicted, example by example and code by code: sets, their promises, their rules, their mistakes."""
