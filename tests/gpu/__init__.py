"""`make test-gpu`: what only a real GPU can tell, in ten minutes, without a network (docs/gpu.md).

From `__main__`: stages, one module each, that say what they find to a `Report`. A stage stands alone.
"""
