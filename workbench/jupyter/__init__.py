"""The workbench in Jupyter: magics and display in the kernel, and the extension of the Jupyter server.

The only package that imports IPython and Jupyter, and each module only what its side needs: ``magics.py`` and
``display.py`` run in kernels, ``server/`` in the Jupyter server, ``demo.py`` starts both beside a local cluster.
"""
