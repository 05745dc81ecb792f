"""The SQL tables of storefront, as migrations/ makes them. The outbox beside them is sagashop's."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

products = sa.Table(
    "products",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("sku", sa.String(40)),
    sa.Column("name", sa.String(100)),
    sa.Column("category", sa.String(40)),
    sa.Column("description", sa.Text),
    sa.Column("price_cents", sa.Integer),
    sa.Column("on_sale", sa.Boolean),
    sa.Column("revision", sa.Integer),
    sa.Column("searched", sa.Text),
)

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(100)),
    sa.Column("email", sa.String(254)),
    sa.Column("password_hash", sa.String(255)),
    sa.Column("role", sa.String(20)),
    sa.Column("revision", sa.Integer),
    sa.Column("created_ms", sa.BigInteger),
)

seeds = sa.Table("seeds", metadata, sa.Column("name", sa.String(40), primary_key=True))
