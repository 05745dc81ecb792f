"""The catalogue, the customers, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sagashop import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sku", sa.String(40), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("searched", sa.Text, nullable=False, comment="name and description, case-folded"),
        if_not_exists=True,
    )
    if not sa.inspect(op.get_bind()).has_index("products", "ix_products_category"):
        op.create_index("ix_products_category", "products", ["category"])
    op.create_table(
        "customers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "seeds",
        sa.Column("name", sa.String(40), primary_key=True, comment="what was put in once and is not put in again"),
        if_not_exists=True,
    )
    op.create_table(outbox.NAME, *outbox.columns(), sqlite_autoincrement=True, if_not_exists=True)


def downgrade() -> None:
    for table in (outbox.NAME, "seeds", "customers", "products"):
        op.drop_table(table)
