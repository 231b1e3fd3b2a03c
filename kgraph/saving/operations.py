"""Public functions between the layers of a definition, as the operations that Keras's files have for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph.errors import KGraphError, SavingError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Size
from kgraph.graph.types import standard_dtype
from kgraph.named import snake_case
from kgraph.saving.objects import made, serialize_keras_object
from kgraph.tracing.trace import Applied

# Keras's operations by module, and what their constructors take. A file can name these, and no other functions.
OPERATIONS = {
    "core": """
        Cast(dtype) SaturateCast(dtype) Scatter(shape) ScatterUpdate(reduction) Slice(shape) SliceUpdate
        StopGradient Unstack(num,axis)
    """,
    "image": """
        AffineTransform(interpolation,fill_mode,fill_value,data_format)
        CropImages(top_cropping,left_cropping,bottom_cropping,right_cropping,target_height,target_width,data_format)
        ExtractPatches(size,strides,dilation_rate,padding,data_format) GaussianBlur(kernel_size,sigma,data_format)
        HSVToRGB(data_format) MapCoordinates(order,fill_mode,fill_value)
        PadImages(top_padding,left_padding,bottom_padding,right_padding,target_height,target_width,data_format)
        PerspectiveTransform(interpolation,fill_value,data_format) RGBToGrayscale(data_format) RGBToHSV(data_format)
        Resize(size,interpolation,antialias,crop_to_aspect_ratio,pad_to_aspect_ratio,fill_mode,fill_value,data_format)
        SSIM(max_val,filter_size,filter_sigma,k1,k2,data_format) SobelEdges(data_format)
    """,
    "linalg": """
        Cholesky(upper) CholeskyInverse(upper) Det Eig Eigh Inv Lstsq(rcond) LuFactor MatrixRank(tol)
        Norm(ord,axis,keepdims) Pinv(rcond) Qr(mode) SVD(full_matrices,compute_uv) Solve SolveTriangular(lower)
    """,
    "math": """
        CDist Erf Erfc Erfinv FFT FFT2 IFFT2 IRFFT(fft_length)
        ISTFT(sequence_length,sequence_stride,fft_length,length,window,center) InTopK(k) Logdet
        Logsumexp(axis,keepdims) RFFT(fft_length) Rsqrt
        STFT(sequence_length,sequence_stride,fft_length,window,center) SegmentMax(num_segments,sorted)
        SegmentMin(num_segments,sorted) SegmentProd(num_segments,sorted) SegmentSum(num_segments,sorted)
        TopK(k,sorted) ViewAsComplex ViewAsReal
    """,
    "nn": """
        AdaptiveAveragePool(output_size,data_format) AdaptiveMaxPool(output_size,data_format)
        AveragePool(pool_size,strides,padding,data_format) BatchNorm(axis,epsilon) BinaryCrossentropy(from_logits)
        CTCDecode(strategy,beam_width,top_paths,merge_repeated,mask_index) CTCLoss(mask_index)
        CategoricalCrossentropy(from_logits,axis) Celu(alpha) Conv(strides,padding,data_format,dilation_rate)
        ConvTranspose(strides,padding,output_padding,data_format,dilation_rate) DepthToSpace(block_size,data_format)
        DepthwiseConv(strides,padding,data_format,dilation_rate)
        DotProductAttention(is_causal,flash_attention,attn_logits_soft_cap) Elu(alpha)
        Fold(output_size,kernel_size,dilation,padding,stride) Gelu(approximate) Glu(axis) HardShrink(threshold)
        HardSigmoid HardSilu HardTanh LayerNorm(axis,epsilon,rms_scaling) LeakyRelu(negative_slope) LogSigmoid
        LogSoftmax(axis) MaxPool(pool_size,strides,padding,data_format) Moments(axes,keepdims,synchronized)
        MultiHot(num_classes,axis,dtype,sparse) Normalize(axis,order,epsilon) OneHot(num_classes,axis,dtype,sparse)
        PSNR(max_val) Polar RMSNorm(axis,epsilon) Relu Relu6 Selu
        SeparableConv(strides,padding,data_format,dilation_rate) Sigmoid Silu SoftShrink(threshold) Softmax(axis)
        Softplus Softsign SpaceToDepth(block_size,data_format) SparseCategoricalCrossentropy(from_logits,axis)
        SparsePlus SparseSigmoid Sparsemax(axis) Squareplus(b) TanhShrink Threshold(threshold,default_value)
        Unfold(kernel_size,dilation,padding,stride)
    """,
    "numpy": """
        Abs Absolute Add All(axis,keepdims) AllClose(rtol,atol,equal_nan) Amax(axis,keepdims) Amin(axis,keepdims)
        Angle Any(axis,keepdims) Append(axis) Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh
        Argmax(axis,keepdims) Argmin(axis,keepdims) Argpartition(kth,axis) Argsort(axis) Array(dtype)
        ArraySplit(indices_or_sections,axis) Average(axis) Bincount(weights,minlength,sparse) BitwiseAnd
        BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo(shape) Cbrt
        Ceil Clip(x_min,x_max) Concatenate(axis) Conj Conjugate Copy Corrcoef Correlate(mode) Cos Cosh
        CountNonzero(axis) Cross(axisa,axisb,axisc,axis) Cumprod(axis,dtype) Cumsum(axis,dtype) Deg2rad Diag(k)
        Diagflat(k) Diagonal(offset,axis1,axis2) Diff(n,axis) Digitize Divide DivideNoNan Dot
        Dsplit(indices_or_sections) Dstack Einsum(subscripts) EmptyLike(dtype) Equal Exp Exp2 ExpandDims(axis) Expm1
        Fabs Flip(axis) Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod FullLike(dtype) Gcd GetItem Greater
        GreaterEqual Heaviside Histogram(bins,range) Hsplit(indices_or_sections) Hstack Hypot I0 Imag Inner
        IsIn(assume_unique,invert) Isclose(equal_nan) Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm Ldexp
        LeftShift Less LessEqual Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr
        LogicalXor Matmul Max(axis,keepdims,initial) Maximum Mean(axis,keepdims) Median(axis,keepdims)
        Min(axis,keepdims,initial) Minimum Mod Moveaxis(source,destination) Multiply NanToNum(nan,posinf,neginf)
        Nanargmax(axis,keepdims) Nanargmin(axis,keepdims) Nancumprod(axis,dtype) Nancumsum(axis,dtype)
        Nanmax(axis,keepdims) Nanmean(axis,keepdims) Nanmedian(axis,keepdims) Nanmin(axis,keepdims)
        Nanpercentile(axis,method,keepdims) Nanprod(axis,keepdims) Nanquantile(axis,method,keepdims)
        Nanstd(axis,keepdims) Nansum(axis,keepdims) Nanvar(axis,keepdims) Negative Nextafter Nonzero NotEqual
        OnesLike(dtype) Outer Pad(pad_width,mode) Percentile(axis,method,keepdims) Power Prod(axis,keepdims,dtype)
        Ptp(axis,keepdims) Quantile(axis,method,keepdims) Rad2deg Ravel Real Reciprocal Repeat(repeats,axis)
        Reshape(newshape) RightShift Roll(shift,axis) Rot90(k,axes) Round(decimals) SearchSorted(side) Select Sign
        Signbit Sin Sinc Sinh Slogdet Sort(axis) Split(indices_or_sections,axis) Sqrt Square Squeeze(axis)
        Stack(axis) Std(axis,keepdims) Subtract Sum(axis,keepdims) Swapaxes(axis1,axis2) Take(axis)
        TakeAlongAxis(axis) Tan Tanh Tensordot(axes) Tile(repeats) Trace(offset,axis1,axis2) Transpose(axes)
        Trapezoid(x,dx,axis) Tril(k) Triu(k) TrueDivide Trunc
        Unique(sorted,return_index,return_inverse,return_counts,axis,size,fill_value) UnravelIndex(shape)
        Vander(N,increasing) Var(axis,keepdims) Vdot View(dtype) Vsplit(indices_or_sections) Vstack Where
        ZerosLike(dtype)
    """,
}
NAMES = {"BatchNorm": "batch_normalization", "LayerNorm": "layer_normalization", "RMSNorm": "rms_normalization"}
ALIASES = {
    "getitem": "get_item",
    "swish": "silu",
    "hard_swish": "hard_silu",
    "degrees": "rad2deg",
    "radians": "deg2rad",
}
LARGEST = 2**40  # of a number in the configuration of an operation: no size is larger


@dataclass(frozen=True)
class Operation:
    """One of Keras's operations, and the function that does it here."""

    module: str
    name: str  # of its class
    options: tuple[str, ...]  # the arguments of its constructor

    @property
    def function(self) -> str:
        """The public name of the function."""
        return NAMES.get(self.name, snake_case(self.name))

    @property
    def run(self) -> Callable[..., Any]:
        """The function itself."""
        return FUNCTIONS[self.function]


KNOWN = {
    name: Operation(f"keras.src.ops.{module}", name, tuple(options.split(",")) if options else ())
    for module, text in OPERATIONS.items()
    for name, options in re.findall(r"(\w+)(?:\(([\w,]*)\))?", text)
}
BY_CLASS = {name: operation for name, operation in KNOWN.items() if operation.function in FUNCTIONS}
BY_FUNCTION = {operation.function: operation for operation in BY_CLASS.values()}


def operation_name(function: str) -> str:
    """The name of Keras's operation for a public function; where it has none, the function's."""
    operation = BY_FUNCTION.get(ALIASES.get(function, function))
    return operation.name if operation else function


def is_operation(config: Mapping[str, Any]) -> bool:
    """Whether an entry among a model's layers is an operation: by its module, or what a layer has and it has not."""
    module, inner = config.get("module"), config.get("config")
    if module is None:  # in whole models in HDF5
        return config.get("class_name") in BY_CLASS and isinstance(inner, dict) and "trainable" not in inner
    return str(module).startswith(("keras.src.ops.", "keras.ops"))


def operation_config(call: Applied, name: str, refer: Callable[[Any], Any]) -> dict[str, Any]:
    """The entry for a function's call, named `name`; `refer` describes a tensor of the definition.

    SavingError for a function that Keras has no operation for, and for arguments that no file can hold.
    """
    operation = BY_FUNCTION.get(ALIASES.get(call.name, call.name))
    if operation is None:
        raise SavingError(
            f"the function {call.name!r} between layers has no like among Keras's operations; call it inside of a layer"
        )
    try:
        args, kwargs, options = arguments_of(operation, call)
        if operation.name == "GetItem":  # lists of indices are arrays, for a list is how JSON writes a tuple
            args[1:] = [as_key(key) for key in args[1:]]
        config = {"name": name, **{key: option(key, value) for key, value in options.items()}}
        node = {"args": refer(args), "kwargs": refer(kwargs)}
    except SavingError as error:
        raise SavingError(f"the call of {call.name!r} between layers: {error}; call it inside of a layer") from None
    return {
        "module": operation.module,
        "class_name": operation.name,
        "config": serialize_keras_object(config),
        "registered_name": operation.name,
        "name": name,
        "inbound_nodes": [node],
    }


def arguments_of(operation: Operation, call: Applied) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """The arguments of a call as Keras has them: by position, by name, and those of the constructor."""
    parameters = inspect.signature(operation.run).parameters
    if "attrs" in parameters:  # a row of the table of ops, which has no signature of its own
        options = {key: value for key, value in call.kwargs.items() if key in operation.options}
        return list(call.args), {k: v for k, v in call.kwargs.items() if k not in options}, options
    bound = inspect.signature(operation.run).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    args: list[Any] = []
    for name, value in bound.arguments.items():
        kind = parameters[name].kind
        if name not in operation.options and kind is not inspect.Parameter.VAR_KEYWORD:
            args += value if kind is inspect.Parameter.VAR_POSITIONAL else [value]
    return args, {}, {key: bound.arguments[key] for key in operation.options if key in bound.arguments}


def as_key(key: Any) -> Any:
    """What stands between the brackets of x[...], with lists as arrays."""
    if isinstance(key, tuple):
        return [as_key(one) for one in key]
    return np.asarray(key) if isinstance(key, list) else key


def option(name: str, value: Any) -> Any:
    """An argument of a constructor as plain data: one unknown size of a shape is -1, dtypes are names."""
    if name == "dtype" and value is not None:
        return standard_dtype(value)
    if not isinstance(value, (list, tuple)) or not any(isinstance(item, Size) for item in value):
        return value
    if name != "newshape" or sum(isinstance(item, Size) or item == -1 for item in value) > 1:
        raise SavingError(f"{name}={value} has sizes that are known only at the call")
    return [-1 if isinstance(item, Size) else item for item in value]


def run_operation(config: Mapping[str, Any], args: list[Any], kwargs: Mapping[str, Any]) -> Any:
    """Do what an entry among a model's layers says. SavingError for an operation that is not in the table."""
    operation = BY_CLASS.get(str(config.get("class_name")))
    given = config.get("config")
    if operation is None or not isinstance(given, dict):
        raise SavingError(f"the operation {config.get('class_name')!r} is none of those that kgraph reads from files")
    options = {key: made(value) for key, value in given.items() if key != "name"}
    unknown = [key for key, value in options.items() if key not in operation.options and value is not None]
    if unknown:
        raise SavingError(f"the operation {operation.name} does not know {unknown[0]!r}")
    options = {key: value for key, value in options.items() if key in operation.options}
    if any(abs(number) > LARGEST for number in numbers_in([options, args, dict(kwargs)])):
        raise SavingError(f"the operation {operation.name} has a number larger than any size can be: {options}")
    try:
        return applied(operation, args, kwargs, options)
    except KGraphError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise SavingError(f"the operation {operation.name} cannot be done with {options}: {error}") from error


def applied(operation: Operation, args: list[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """The function's result. Arguments by position are those that are no options, in their order."""
    parameters = inspect.signature(operation.run).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        before = [options[name] for name in parameters if name in options]
        return operation.run(*before, *args, **kwargs, **{k: v for k, v in options.items() if k not in parameters})
    places = [name for name in parameters if name not in operation.options]
    if operation.name == "GetItem":
        args = [args[0], *(tuple(key) if isinstance(key, list) else key for key in args[1:])]
    return operation.run(**dict(zip(places, args, strict=False)), **kwargs, **options)


def numbers_in(value: Any) -> list[int]:
    """The whole numbers in a nest."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in numbers_in(item)]
    return [int(value)] if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else []
