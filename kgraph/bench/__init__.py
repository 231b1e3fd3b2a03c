"""Measuring: how long compiled models take, beside other ways to compute the same.

models.py has the models, case.py what is computed of one, data.py its inputs; peers.py is the register of contestants,
jax_graph.py, torch_graph.py, onnx_graph.py and keras_model.py translate for them what idioms.py and product.py found in
the graph. worker.py is the process of one contestant, team.py the parent's end of it, timing.py the clock; measure.py
puts a task together, report.py prints it. profile.py measures kernel by kernel, limits.py the machine; work.py counts.
"""
