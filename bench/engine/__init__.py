"""Trains one cohort. The only place in the house where TensorFlow and Keras are imported."""
