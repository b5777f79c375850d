"""What the models were made from: the data, stage one, training, cost."""
