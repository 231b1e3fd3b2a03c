"""What is told of the stages of training, evaluation and prediction, and acts on them."""

from typing import Any

from kgraph.callbacks.averages import SwapEMAWeights
from kgraph.callbacks.backup import BackupAndRestore
from kgraph.callbacks.callback import Callback
from kgraph.callbacks.callback_list import CallbackList
from kgraph.callbacks.checkpoint import ModelCheckpoint
from kgraph.callbacks.csv_logger import CSVLogger
from kgraph.callbacks.early_stopping import EarlyStopping, TerminateOnNaN
from kgraph.callbacks.history import History
from kgraph.callbacks.lambda_callback import LambdaCallback
from kgraph.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from kgraph.callbacks.monitor import MonitorCallback
from kgraph.callbacks.progress import ProgbarLogger
from kgraph.callbacks.remote_monitor import RemoteMonitor
from kgraph.callbacks.tensorboard import TensorBoard
from kgraph.missing import missing

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> Any:
    raise missing("callbacks", name)
