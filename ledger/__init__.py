"""What is true: records, batches, tree, log, index, execution, bureau.

Pure: bytes and integers in, values out.
"""
