/*
 * text.c - the report for people, in LeakSanitizer's layout.
 *
 * Scripts read it as well: bilge(1) fixes every line.
 */
#include "record_reader.h"
#include "render.h"
#include "symbols.h"

#include <inttypes.h>

struct style {
	const char *error;
	const char *leak;
	const char *plain;
};

static const struct style no_colour = { "", "", "" };
static const struct style colour = { "\033[1;31m", "\033[1;34m", "\033[0m" };

static void
print_module(const struct frame *frame, FILE *out)
{
	if (frame->module == NULL)
		return;
	fprintf(out, " (%s+0x%" PRIx64 ")", module_name(frame->module),
	    frame->offset);
	if (frame->module->build_id[0] != '\0')
		fprintf(out, " (BuildId: %s)", frame->module->build_id);
}

static void
print_frames(struct frame *frames, size_t count, FILE *out)
{
	const struct location *location;
	const struct place *place;
	size_t number = 0;

	if (count == 0)
		fputs("    <empty stack>\n", out);
	for (size_t i = 0; i < count; i++) {
		place = symbols_find(&frames[i]);
		for (size_t j = 0; j < place->count; j++) {
			location = &place->locations[j];
			fprintf(out, "    #%zu 0x%" PRIx64, number++,
			    frames[i].address);
			if (location->function != NULL)
				fprintf(out, " in %s", location->function);
			if (location->file == NULL)
				print_module(&frames[i], out);
			else if (location->line == 0)
				fprintf(out, " %s", location->file);
			else
				fprintf(out, " %s:%d", location->file,
				    location->line);
			fputc('\n', out);
		}
	}
	fputc('\n', out);
}

static void
print_leak(struct leak *leak, const struct style *style, FILE *out)
{
	fprintf(out, "%s%s leak of %lld byte(s) in %lld object(s) "
	    "allocated from:%s\n", style->leak,
	    leak->kind == LEAK_DIRECT ? "Direct" : "Indirect", leak->bytes,
	    leak->blocks, style->plain);
	print_frames(leak->frames, leak->frame_count, out);
}

static void
print_misuse(const struct record *record, struct misuse *misuse,
    const struct style *style, FILE *out)
{
	fprintf(out, "%s==%lld==ERROR: bilge: %s of 0x%" PRIx64, style->error,
	    record->pid, misuse->what, misuse->address);
	if (misuse->freed_count == 0 && misuse->size == 0) {
		fprintf(out, " in %s%s\n", misuse->function, style->plain);
		print_frames(misuse->frames, misuse->frame_count, out);
		return;
	}
	fprintf(out, ", %lld byte(s) into a block of %lld%s\n", misuse->at,
	    misuse->size, style->plain);
	fputs("freed by:\n", out);
	print_frames(misuse->freed_by, misuse->freed_count, out);
	fputs("allocated from:\n", out);
	print_frames(misuse->frames, misuse->frame_count, out);
}

static void
print_quarantined(const struct record *record, size_t top,
    const struct style *style, FILE *out)
{
	for (size_t i = 0; i < record->quarantined_count && i < top; i++) {
		struct quarantined *q = &record->quarantined[i];

		fprintf(out, "%s%lld byte(s) in %lld freed object(s) still "
		    "pointed at, allocated from:%s\n", style->leak, q->bytes,
		    q->blocks, style->plain);
		print_frames(q->frames, q->frame_count, out);
	}
}

void
text_render(struct record *record, size_t top, bool has_colour, FILE *out)
{
	const struct style *style = has_colour ? &colour : &no_colour;
	const long long *totals = record->totals;

	for (size_t i = 0; i < record->misuse_count; i++)
		print_misuse(record, &record->misuses[i], style, out);
	print_quarantined(record, top, style, out);
	if (totals[TOTAL_RESURRECTED_BLOCKS] != 0)
		fprintf(out, "==%lld==bilge: %lld object(s) taken for leaked "
		    "were used again\n\n", record->pid,
		    totals[TOTAL_RESURRECTED_BLOCKS]);
	if (record->leak_count == 0)
		return;

	fprintf(out, "%s==%lld==ERROR: bilge: detected memory leaks%s\n\n",
	    style->error, record->pid, style->plain);
	for (size_t i = 0; i < record->leak_count && i < top; i++)
		print_leak(&record->leaks[i], style, out);
	if (record->leak_count > top)
		fprintf(out, "%zu further leak(s) not shown.\n\n",
		    record->leak_count - top);
	fprintf(out, "SUMMARY: bilge: %lld byte(s) leaked in %lld "
	    "allocation(s).\n", totals[TOTAL_LEAKED_BYTES],
	    totals[TOTAL_LEAKED_BLOCKS]);
}
