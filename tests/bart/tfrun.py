"""Run a GraphDef through TensorFlow's C interface: the library BART links.

No TensorFlow for Python is needed, only ``libtensorflow``.
"""

import ctypes
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

_NUMPY = {1: np.float32, 3: np.int32, 9: np.int64, 10: np.bool_}
_NUMBER = {np.dtype(v): k for k, v in _NUMPY.items()}


class _Output(ctypes.Structure):
    _fields_ = [("oper", c_void_p), ("index", c_int)]


class TFGraph:
    """A session with one graph.

    Args:
        library (str): path of libtensorflow.
        data (bytes): GraphDef.
    """

    def __init__(self, library, data):
        self.c = lib = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        for name in (
            "TF_NewStatus TF_NewBufferFromString TF_NewGraph TF_NewSession "
            "TF_NewImportGraphDefOptions TF_NewSessionOptions TF_TensorData "
            "TF_GraphOperationByName TF_AllocateTensor"
        ).split():
            getattr(lib, name).restype = c_void_p
        lib.TF_Message.restype = c_char_p
        lib.TF_Dim.restype = c_int64
        self.status = c_void_p(lib.TF_NewStatus())
        buffer = c_void_p(lib.TF_NewBufferFromString(data, c_size_t(len(data))))
        self.graph = c_void_p(lib.TF_NewGraph())
        options = c_void_p(lib.TF_NewImportGraphDefOptions())
        lib.TF_GraphImportGraphDef(self.graph, buffer, options, self.status)
        self._check()
        options = c_void_p(lib.TF_NewSessionOptions())
        # intra_op_parallelism_threads = inter_op_parallelism_threads = 1
        config = bytes([0x10, 1, 0x28, 1])
        lib.TF_SetConfig(options, config, c_size_t(len(config)), self.status)
        self.session = c_void_p(lib.TF_NewSession(self.graph, options, self.status))
        self._check()

    def _check(self):
        if self.c.TF_GetCode(self.status):
            raise RuntimeError(self.c.TF_Message(self.status).decode())

    def _output(self, name):
        oper = self.c.TF_GraphOperationByName(self.graph, name.encode())
        if not oper:
            raise KeyError(name)
        return _Output(oper, 0)

    def _tensor(self, array):
        dims = (c_int64 * array.ndim)(*array.shape)
        t = c_void_p(
            self.c.TF_AllocateTensor(
                _NUMBER[array.dtype], dims, array.ndim, c_size_t(array.nbytes)
            )
        )
        array = np.ascontiguousarray(array)
        ctypes.memmove(self.c.TF_TensorData(t), array.ctypes.data, array.nbytes)
        return t

    def _array(self, t):
        shape = tuple(self.c.TF_Dim(t, i) for i in range(self.c.TF_NumDims(t)))
        out = np.empty(shape, _NUMPY[self.c.TF_TensorType(t)])
        ctypes.memmove(out.ctypes.data, self.c.TF_TensorData(t), out.nbytes)
        return out

    def run(self, feeds, fetch=None, target=None):
        """Feed arrays by name, return the tensor ``fetch``; run ``target``."""
        inputs = (_Output * len(feeds))(*(self._output(k) for k in feeds))
        tensors = (c_void_p * len(feeds))(*(self._tensor(v) for v in feeds.values()))
        fetches = [fetch] if fetch else []
        outputs = (_Output * len(fetches))(*(self._output(k) for k in fetches))
        results = (c_void_p * len(fetches))()
        targets = (c_void_p * 1)(self._output(target).oper if target else None)
        self.c.TF_SessionRun(
            self.session, None, inputs, tensors, len(feeds), outputs, results,
            len(fetches), targets, int(bool(target)), None, self.status,
        )  # fmt: skip
        self._check()
        return self._array(c_void_p(results[0])) if fetch else None
