"""Measuring: how long compiled models take, beside other ways to compute the same.

models.py has the models, case.py what is computed of one, data.py its inputs, adam.py the step that is taken; peers.py
is the register of contestants, which give calls (calls.py). jax_graph.py, torch_graph.py, onnx_graph.py and
keras_model.py translate for them what idioms.py and product.py found in the graph; jax_layers.py, torch_layers.py and
onnx_layers.py translate a chain of layers (chain.py, layer_peers.py) where a library has its own form of a layer.
worker.py is the process of one contestant, team.py the parent's end of it, timing.py the clock; measure.py
puts a task together, report.py prints it. profile.py measures kernel by kernel, limits.py the machine; work.py counts.
"""
