"""What is measured without a whole training run: one function per question, named by the notes.

A study takes keyword arguments, which the arms of an experiment set, and returns what it measured
by name: numbers, lists of numbers (curves), nested lists, arrays or tensors. One that draws
anything at random takes a ``seed``; one that takes none is exact and run once. One that builds
layers or update rules takes ``library``, ``"dlbook"`` or ``"torch"``, where the two may be held
against each other. Beside it stands the function that draws its picture from the results, named
in the experiment's file as ``figure: {draw: module.function}``.
"""
