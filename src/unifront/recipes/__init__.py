"""Training without code: recipes, the YAML files that ``unifront train`` takes.

A recipe names a model of the zoo, or lists layers; says what it is trained on; and may say how: optimizer, schedule,
loss, metrics, callbacks, epochs, seed, backend (`unifront.recipes.schema` is all that it may hold). What is wrong with
it is said with file, line and key.

    text.py        YAML in which every value knows its line
    schema.py      what a recipe may hold
    things.py      optimizers, losses, callbacks and layers made of what it says
    data.py        what training runs on; images.py, tables.py, series.py, texts.py, bundled.py: read from there
    building.py    the model, from the data as they come to what they mean
    running.py     training, and the folder of its results
    results.py     evaluating and predicting with them
    shipped/       recipes that come along
"""
