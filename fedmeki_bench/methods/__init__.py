"""Methods: the plug-in API, the base class for injecting into a language model, and their registry."""

from fedmeki_bench.methods.api import (
    Answer,
    InjectionReport,
    Knowledge,
    Method,
    MethodContext,
    ServerTraining,
    State,
)
from fedmeki_bench.methods.registry import Listing, list_methods, load_method

__all__ = [
    "Answer",
    "InjectionReport",
    "Knowledge",
    "Listing",
    "Method",
    "MethodContext",
    "ServerTraining",
    "State",
    "list_methods",
    "load_method",
]
