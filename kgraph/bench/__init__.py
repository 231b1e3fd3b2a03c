"""Measuring: how long compiled models take, beside other ways to compute the same.

models.py has the models measured by default, data.py makes their inputs, work.py counts operations and memory,
timing.py holds the clock, peers.py is the register of the others, measure.py puts it together, report.py prints it.
"""
