"""A record shop over the Chinook schema: Router -> UseCase -> Repository -> Model, and nothing in between.

Read it in this order: models, shapes, repositories, usecases, api. `python -m recordshop` runs the demo.
"""
