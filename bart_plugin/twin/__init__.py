"""What ``bart pics -R TF:`` computes, in SigPy: the same images to about 1e-6."""

from bart_plugin.twin.admm import BartADMM
from bart_plugin.twin.graph_reg import GraphReg
from bart_plugin.twin.pics import BART_ORDERS, BartFISTA, BartPics

__all__ = ["BART_ORDERS", "BartADMM", "BartFISTA", "BartPics", "GraphReg"]
