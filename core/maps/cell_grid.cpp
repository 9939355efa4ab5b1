// Which rows and keys belong to a cell, and which rows of it are looked at.

#include "core/maps/pooling.h"

namespace headscope {
namespace {

std::vector<std::int64_t> evenEdges(std::int64_t begin, std::int64_t end, std::int64_t cells) {
  std::vector<std::int64_t> edges;
  for (std::int64_t i = 0; i <= cells; ++i) {
    edges.push_back(begin + i * (end - begin) / cells);
  }
  return edges;
}

std::vector<std::int64_t> squareEdges(std::int64_t begin, std::int64_t end, std::int64_t side) {
  std::vector<std::int64_t> edges;
  for (std::int64_t at = begin; at < end; at += side) {
    edges.push_back(at);
  }
  edges.push_back(std::max(begin, end));
  return edges;
}

// Mixes two numbers to 64 even bits (the finalizer of Vigna's splitmix64).
std::uint64_t hash(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t x = a * 0x9E3779B97F4A7C15u + b;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

CellGrid evenGrid(const MapRange& range, std::int64_t height, std::int64_t width) {
  return {evenEdges(range.rowBegin, range.rowEnd, height), evenEdges(range.colBegin, range.colEnd, width)};
}

CellGrid squareGrid(const MapRange& range, std::int64_t side) {
  return {squareEdges(range.rowBegin, range.rowEnd, side), squareEdges(range.colBegin, range.colEnd, side)};
}

std::int64_t pickedRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell) noexcept {
  const std::int64_t rows = grid.rows[static_cast<std::size_t>(y + 1)] - grid.rows[static_cast<std::size_t>(y)];
  return rowsPerCell > 0 ? std::min(rows, rowsPerCell) : rows;
}

void pickRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell, std::vector<std::int64_t>& rows) {
  const std::int64_t begin = grid.rows[static_cast<std::size_t>(y)];
  const std::int64_t count = grid.rows[static_cast<std::size_t>(y + 1)] - begin;
  const std::int64_t picked = pickedRows(grid, y, rowsPerCell);
  for (std::int64_t i = 0; i < picked; ++i) {
    const std::int64_t from = i * count / picked;
    const std::int64_t part = (i + 1) * count / picked - from;
    const auto drawn = static_cast<std::int64_t>(
        hash(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(part));
    rows.push_back(begin + from + drawn);
  }
}

}  // namespace headscope
