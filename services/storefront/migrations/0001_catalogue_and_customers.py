"""The catalogue, the customers, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from sagashop import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sku", _exact(40), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("category", _exact(40), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("searched", sa.Text, nullable=False, comment="name and description, case-folded"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_products_category", "products", ["category"])
    op.create_table(
        "customers",
        sa.Column("id", _exact(32), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("email", _exact(254), nullable=False, unique=True),
        sa.Column("password_hash", _exact(255), nullable=False),
        sa.Column("role", _exact(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "seeds",
        sa.Column("name", _exact(40), primary_key=True, comment="what was put in once and is not put in again"),
        mysql_charset="utf8mb4",
    )
    op.create_table(outbox.NAME, *outbox.columns(), sqlite_autoincrement=True, mysql_charset="utf8mb4")


def downgrade() -> None:
    for table in (outbox.NAME, "seeds", "customers", "products"):
        op.drop_table(table)


def _exact(length: int) -> sa.String:
    """Text that is compared letter by letter; MySQL would otherwise take `É` for `e`."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")
