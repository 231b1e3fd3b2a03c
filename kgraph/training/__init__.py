"""The Keras workflow around a compiled step: compile, fit, evaluate, predict."""
