"""The front of a Jupyter kernel whose cells can be undone: `python -m snapshot.notebook`.

It is started by the kernelspec of `snapshot.kernelspec`, and is no part of the kernel.
"""
