"""Public names of Keras that are not here, and what to do instead; kgraph.ops has its own table."""

from __future__ import annotations

_AUGMENT = (
    "augmentation of images is not built; do it where the data is made (a PyDataset), or in a Layer of your own with "
    "kgraph.ops and kgraph.random"
)
_STRINGS = "there are no strings here; turn them into integers ahead of the model, in Python"
_SPECTRUM = "there are no complex numbers here; compute spectra ahead of the model, with numpy.fft"
_FRAMEWORK = "it wraps another framework, and none runs here"
_FILES = "kgraph reads no data from files or the network; load it with the library that knows it"
_IMAGES = "kgraph reads and writes no images; use PIL or imageio"
_QUANTIZED = "quantization is not built; policies are floats of 16, 32 and 64 bits, mixed_float16 and mixed_bfloat16"
_DRAWN = "it is not built; draw from numpy ahead of the model, or use normal, uniform, randint, categorical"
_ONE_KIND = "there is one way to compute it, chosen by kgraph"
_TRACEBACKS = "tracebacks are not filtered"
_TALK = "verbose= says how much is printed"

_AUGMENTING = (
    "AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes "
    "MixUp Pipeline RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
    "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
    "RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
    "RandomTranslation RandomZoom Solarization"
)

_PHASE = "whether a layer trains is an argument of its call, training="
_CTC = "ops.ctc_loss and ops.ctc_decode have other arguments"
_PLACEHOLDER = "there are no placeholders; a model, kgraph.compile or kgraph.jit makes a function of inputs"

WHY: dict[str, dict[str, str]] = {
    "": {
        "applications": "models with trained weights are not built; load such a model from a .keras or .h5 file",
        "datasets": _FILES,
        "device": "kgraph.compile(model, target=...) says where it runs",
        "distillation": "it is not built; write a train_step with the teacher in it",
        "distribution": "it is not built: a program runs on one machine",
        "export": "kgraph.compile(model).export(path) writes a library",
        "FloatDTypePolicy": "it is DTypePolicy",
        "legacy": "what Keras 2 needed is not built; kgraph.backend has its backend functions",
        **dict.fromkeys(("Quantizer", "quantizers"), _QUANTIZED),
        **dict.fromkeys(("remat", "RematScope"), "values are not computed twice to save memory"),
        "SymbolicScope": "call layers on kgraph.Input",
        "version": "it is kgraph.__version__",
        "visualization": "it is not built; draw with matplotlib",
        "wrappers": "it is not built: it wraps scikit-learn",
    },
    "backend": {
        **dict.fromkeys(("learning_phase", "set_learning_phase", "in_train_phase", "in_test_phase"), _PHASE),
        **dict.fromkeys(("placeholder", "function", "get_session", "set_session"), _PLACEHOLDER),
        **dict.fromkeys(("ctc_batch_cost", "ctc_decode", "ctc_label_dense_to_sparse"), _CTC),
        **dict.fromkeys(("binary_focal_crossentropy", "categorical_focal_crossentropy"), "it is in kgraph.losses"),
        "gradients": "use kgraph.GradientTape or kgraph.grad",
        "rnn": "use kgraph.layers.RNN around a cell, or ops.scan",
        "resize_images": "use ops.image.resize, which takes the size to resize to",
        "get_uid": "layers without a name are numbered by themselves",
        "print_tensor": "print what a model of the layers before returns",
    },
    "preprocessing": {
        "image": _IMAGES,
        "text": _STRINGS,
        **dict.fromkeys(("image_dataset_from_directory", "text_dataset_from_directory"), _FILES),
    },
    "layers": {
        **dict.fromkeys(_AUGMENTING.split(), _AUGMENT),
        **dict.fromkeys(("StringLookup", "TextVectorization", "Hashing", "HashedCrossing"), _STRINGS),
        **dict.fromkeys(("STFTSpectrogram", "MelSpectrogram"), _SPECTRUM),
        **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), _FRAMEWORK),
        "ReversibleEmbedding": "it is not built; in a Layer, multiply by ops.transpose(embedding.embeddings)",
    },
    "utils": {
        **dict.fromkeys(
            ("audio_dataset_from_directory", "image_dataset_from_directory", "text_dataset_from_directory", "get_file"),
            _FILES,
        ),
        **dict.fromkeys(("array_to_img", "img_to_array", "load_img", "save_img"), _IMAGES),
        **dict.fromkeys(("plot_model", "model_to_dot"), "print model.graph, or draw model.graph.nx, a networkx graph"),
        "FeatureSpace": "it is not built; use Normalization, Discretization, IntegerLookup and CategoryEncoding",
        "bounding_boxes": "bounding boxes are not built",
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"), _TALK
        ),
        "get_source_inputs": "model.inputs has the inputs",
        "Config": "a dict or a dataclass does",
        "legacy": "what Keras 2 needed is not built",
    },
    "tree": {
        **dict.fromkeys(
            ("MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "flatten_with_path", "lists_to_tuples",
             "map_shape_structure", "map_structure_up_to", "traverse"),
            "it is not built; flatten, map_structure, pack_sequence_as and is_nested are",
        ),
    },
    "random": dict.fromkeys(("beta", "binomial", "gamma"), _DRAWN),
    "callbacks": {"OrbaxCheckpoint": "it is jax's; use ModelCheckpoint or BackupAndRestore"},
    "optimizers": {"legacy": "the optimizers of Keras 2 are not built; those of Keras 3 have the same names"},
    "saving": {"KerasFileEditor": "it is not built; load the model, change it, and save it"},
    "config": {
        **dict.fromkeys(
            ("backend", "set_backend", "is_nnx_enabled"), "there is one backend, and no name for it: kgraph itself"
        ),
        **dict.fromkeys(
            ("disable_flash_attention", "enable_flash_attention", "is_flash_attention_enabled"), _ONE_KIND
        ),
        **dict.fromkeys(
            ("disable_traceback_filtering", "enable_traceback_filtering", "is_traceback_filtering_enabled"), _TRACEBACKS
        ),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"), _TALK
        ),
        **dict.fromkeys(
            ("max_epochs", "set_max_epochs", "max_steps_per_epoch", "set_max_steps_per_epoch"),
            "give epochs= and steps_per_epoch= to fit",
        ),
        "enable_unsafe_deserialization": "files are data here: no code in them is ever run",
    },
    "dtype_policies": {
        **dict.fromkeys(
            (
                "AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy",
                "QuantizedFloat8DTypePolicy",
            ),
            _QUANTIZED,
        ),
        "DTypePolicyMap": "it is not built; give dtype= to the layers",
        "FloatDTypePolicy": "it is DTypePolicy",
    },
}  # fmt: skip


LAYER_METHODS: dict[str, str] = {
    "add_metric": "make a metric in __init__ and call its update_state in `call`, or return the value as an output",
    "rematerialized_call": "values are not computed twice to save memory",
    **dict.fromkeys(
        ("quantize", "quantization_mode", "quantization_config", "quantized_build", "quantized_call"), _QUANTIZED
    ),
}
METHODS: dict[str, str] = {
    "export": "kgraph.compile(model).export(path) writes a library, model.save(path) a file that Keras opens",
    **dict.fromkeys(("quantize", "get_quantization_layer_structure"), _QUANTIZED),
    **dict.fromkeys(("jit_compile", "supports_jit"), "steps are always compiled, but with run_eagerly=True"),
    **dict.fromkeys(
        ("make_train_function", "make_test_function", "make_predict_function"),
        "steps are compiled when they are first needed; define train_step, test_step or predict_step",
    ),
    "train_function": "use train_on_batch",
    "test_function": "use test_on_batch",
    "predict_function": "use predict_on_batch",
    "get_state_tree": "{one.path: one.numpy() for one in model.variables} has the state; save_weights writes it",
    "set_state_tree": "assign to each of model.variables, or use set_weights or load_weights",
    **dict.fromkeys(("jax_state_sync", "compute_loss_and_updates"), "it is jax's; use kgraph.grad or GradientTape"),
    **dict.fromkeys(("fit_generator", "evaluate_generator", "predict_generator"), "the method without _generator does"),
    "to_yaml": "use to_json",
}


def missing(module: str, name: str) -> AttributeError:
    """What a module of kgraph raises for a name that it does not have."""
    why, path = WHY.get(module, {}).get(name), f"kgraph.{module}".removesuffix(".")
    if why is None:
        return AttributeError(f"module {path!r} has no attribute {name!r}")
    return AttributeError(f"{path} has no {name!r}: {why}")
