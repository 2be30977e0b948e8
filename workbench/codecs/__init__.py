"""Codecs: an object becomes a description, a small header and buffers, and becomes the object again around them.

Covers every Python object that pickle or cloudpickle can carry; NumPy, pandas, Arrow, Polars and SciPy objects keep
their bytes in buffers, which the decoded object uses where they lie, without a copy. Knows nothing of files, stores,
sessions or Dask. Importing this package imports NumPy only: the adapter of any other library is loaded when an
object of that library passes through.

============================ ==========================================================================
``numpy_arrays.py``          every dtype and memory order; the short path for a plain array
``pandas_frames.py``         frames, series, indexes, extension arrays, through pandas' own pickling
``arrow_tables.py``          Arrow arrays, batches, tables; slices are cut down to what they show, or refer to shared memory
``polars_frames.py``         Polars frames and series, as Arrow tables
``sparse_matrices.py``       SciPy's sparse arrays and matrices
``torch_tensors.py``         PyTorch's tensors, which are copied, and say so
``registry.py``              the contract of an adapter, and where those of other libraries come from
``pickling.py``              the pickler that sends each type to its adapter; cloudpickle where it must
``replay.py``                reads headers, and has those compiled that come often
``header_compiler.py``       turns a header into a function that builds the object
``describing.py``            kind, shape, dtypes and notes, without looking at rows
``copy_on_write.py``         lets pandas copy the columns that it writes to
``culprits.py``              finds the part of an object that cannot be pickled
============================ ==========================================================================

Read next: ``pickling.py``.
"""

from __future__ import annotations

from workbench.codecs.pickling import decode, encode, pickled_nbytes
from workbench.codecs.registry import Adapter, describe, register

__all__ = ["Adapter", "decode", "describe", "encode", "pickled_nbytes", "register"]
