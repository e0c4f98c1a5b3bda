"""The names of the formats that a model's numbers may have; models/language_model.py says what each means."""

DTYPES = ("float32", "tfloat32", "bfloat16", "float16")
