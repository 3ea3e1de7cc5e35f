# table.awk - a table of medians, and one of ratios.
#
# Reads "ROW PEER VALUE" lines in any order, any number of values for a row and
# peer.  Prints a line for each row with the median for each of the peers; then
# the median of every bilge peer divided by that of each of the bases, with the
# geometric mean of each column.  Variables: title, format (of a value), peers,
# bases (lists of names).

{
	count = ++counts[$1, $2]
	values[$1, $2, count] = $3
	if (!($1 in seen)) {
		seen[$1] = 1
		rows[++row_count] = $1
	}
}

function median(row, peer,    n, i, j, v, sorted)
{
	n = counts[row, peer]
	for (i = 1; i <= n; i++) {
		v = values[row, peer, i]
		for (j = i - 1; j >= 1 && sorted[j] > v; j--)
			sorted[j + 1] = sorted[j]
		sorted[j + 1] = v
	}
	return n % 2 ? sorted[(n + 1) / 2] :
	    (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function print_cell(i, text)
{
	printf "%" (length(peer[i]) < 7 ? 9 : length(peer[i]) + 2) "s", text
}

function print_ratios(name,    r, i, ratio, logs, used)
{
	printf "\n%-17s", "to " name
	for (i = 1; i <= peer_count; i++)
		if (peer[i] ~ /^bilge/)
			print_cell(i, peer[i])
	printf "\n"
	for (r = 1; r <= row_count; r++) {
		printf "%-17s", rows[r]
		for (i = 1; i <= peer_count; i++) {
			if (peer[i] !~ /^bilge/)
				continue
			if (!(m[r, name] > 0) || !(m[r, peer[i]] > 0)) {
				print_cell(i, "-")
				continue
			}
			ratio = m[r, peer[i]] / m[r, name]
			print_cell(i, sprintf("%.2f", ratio))
			logs[i] += log(ratio)
			used[i]++
		}
		printf "\n"
	}
	printf "%-17s", "geometric mean"
	for (i = 1; i <= peer_count; i++)
		if (peer[i] ~ /^bilge/)
			print_cell(i, used[i] ? \
			    sprintf("%.2f", exp(logs[i] / used[i])) : "-")
	printf "\n"
}

END {
	peer_count = split(peers, peer, " ")
	printf "%-17s", title
	for (i = 1; i <= peer_count; i++) {
		print_cell(i, peer[i])
		known[peer[i]] = 1
	}
	printf "\n"
	for (r = 1; r <= row_count; r++) {
		printf "%-17s", rows[r]
		for (i = 1; i <= peer_count; i++) {
			if (!((rows[r], peer[i]) in counts)) {
				print_cell(i, "-")
				continue
			}
			m[r, peer[i]] = median(rows[r], peer[i])
			print_cell(i, sprintf(format, m[r, peer[i]]))
		}
		printf "\n"
	}
	base_count = split(bases, base, " ")
	for (i = 1; i <= base_count; i++)
		if (base[i] in known)
			print_ratios(base[i])
}
